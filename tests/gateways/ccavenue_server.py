"""A small CCAvenue on the loopback: its page's answers, order status and refunds, encrypted as it does.

Written from its published integration guide; it takes what its page and its API take, and can fail.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlencode

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CBC

ACCESS_CODE, WORKING_KEY, MERCHANT_ID = "AVXX01AB23CD45EF67", "0123456789ABCDEF0123456789ABCDEF", "123456"


def seal(text: str, key: str = WORKING_KEY) -> str:
    """AES-128-CBC, PKCS 7, MD5 of the key, vector 00..0f: written apart from what is tested."""
    raw = text.encode()
    length = 16 - len(raw) % 16
    cipher = Cipher(AES128(hashlib.md5(key.encode()).digest()), CBC(bytes(range(16)))).encryptor()
    return (cipher.update(raw + bytes([length]) * length) + cipher.finalize()).hex()


def unseal(digits: str, key: str = WORKING_KEY) -> str:
    cipher = Cipher(AES128(hashlib.md5(key.encode()).digest()), CBC(bytes(range(16)))).decryptor()
    raw = cipher.update(bytes.fromhex(digits)) + cipher.finalize()
    return raw[: -raw[-1]].decode()


class CCAvenueServer:
    """Orders, and what becomes of them."""

    def __init__(self) -> None:
        self.orders: dict[str, dict[str, Any]] = {}
        """By order number, as its API tells them."""
        self.refunds: dict[str, str] = {}
        """Amounts by the merchant's own numbers."""
        self.fault = ""
        """slow: does what is asked and says nothing; garbage, 500, or refused (the access code)."""
        self.asked: list[str] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self._over = threading.Event()

    @property
    def url(self) -> str:
        """Its API's address."""
        return f"http://127.0.0.1:{self._http.server_port}/apis/servlet/DoWebTrans"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._http.shutdown()
        self._http.server_close()

    def pay(self, form: dict[str, str], status: str = "Success", amount: str | None = None) -> bytes:
        """The payer fills in the page that this form opens; what his browser brings back."""
        assert form["access_code"] == ACCESS_CODE
        assert form["command"] == "initiateTransaction"
        fields = {name: values[0] for name, values in parse_qs(unseal(form["encRequest"])).items()}
        assert fields["merchant_id"] == MERCHANT_ID
        assert len(fields["order_id"]) <= 30
        reference = str(310_000_000_000 + len(self.orders))
        kept = {"Success": "Shipped", "Failure": "Unsuccessful"}.get(status, status)
        self.orders[fields["order_id"]] = {
            "status": 0,
            "order_no": fields["order_id"],
            "reference_no": reference,
            "order_currncy": fields["currency"],
            "order_amt": amount or fields["amount"],
            "order_capt_amt": (amount or fields["amount"]) if kept == "Shipped" else "0.0",
            "order_status": kept,
            "order_bank_response": "Do not honour" if kept == "Unsuccessful" else "Approved",
        }
        told = {
            "order_id": fields["order_id"],
            "tracking_id": reference,
            "order_status": status,
            "currency": fields["currency"],
            "amount": fields["amount"],
        }
        return urlencode({"encResp": seal(urlencode(told)), "orderNo": fields["order_id"]}).encode()

    @contextmanager
    def failing(self, fault: str) -> Iterator[None]:
        self.fault = fault
        yield
        self.fault = ""

    def _do(self, command: str, asked: dict[str, str]) -> dict[str, Any]:
        self.asked.append(command)
        if command == "orderStatusTracker":
            for order in self.orders.values():
                if asked["order_no"] == order["order_no"] or asked["reference_no"] == order["reference_no"]:
                    return order
            return {"status": 1, "error_desc": "No record found", "error_code": "51419"}
        order = next(x for x in self.orders.values() if x["reference_no"] == asked["reference_no"])
        if asked["refund_ref_no"] in self.refunds:
            why = "Duplicate refund reference number"
            return {"Refund_Order_Result": {"refund_status": 1, "reason": why, "error_code": "52011"}}
        given = sum(int(float(x) * 100) for x in self.refunds.values())
        if given + int(float(asked["refund_amount"]) * 100) > int(float(order["order_amt"]) * 100):
            why = "Refund amount is greater than the captured amount"
            return {"Refund_Order_Result": {"refund_status": 1, "reason": why, "error_code": "52015"}}
        self.refunds[asked["refund_ref_no"]] = asked["refund_amount"]
        order["order_status"] = "Refunded"
        return {"Refund_Order_Result": {"refund_status": 0, "reason": "", "error_code": ""}}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                fields = {name: values[0] for name, values in parse_qs(body).items()}
                assert fields["access_code"] == ACCESS_CODE
                if server.fault == "refused":
                    self._reply(
                        200, "status=1&enc_response=Access_code: Invalid Parameter&enc_error_code=51407"
                    )
                    return
                done = server._do(fields["command"], json.loads(unseal(fields["enc_request"])))
                if server.fault == "slow":
                    server._over.wait(20)
                elif server.fault == "500":
                    self._reply(500, "down")
                elif server.fault == "garbage":
                    self._reply(200, "status=0&enc_response=00ff")
                else:
                    self._reply(200, f"status=0&enc_response={seal(json.dumps(done))}\r\n&enc_error_code=")

            def _reply(self, status: int, text: str) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler
