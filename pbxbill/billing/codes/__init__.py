"""What people type: vouchers and PINs of calling cards, kept hashed, and the guard against guessing them."""
