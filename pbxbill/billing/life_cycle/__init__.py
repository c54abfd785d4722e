"""What an account may do: suspensions and their causes, stages of its life, its end."""
