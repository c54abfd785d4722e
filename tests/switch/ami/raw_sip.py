"""A stranger's INVITE, byte by byte: SIPp would not send such a From."""

import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass

SDP = "v=0\r\no=x 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n"


def percent_encoded(text: str) -> str:
    """Every byte as %XX, as a URI may hold it."""
    return "".join(f"%{byte:02x}" for byte in text.encode())


@dataclass
class Stranger:
    """One INVITE from an address that the switch knows as a trunk."""

    sip_port: int
    user: str
    """The From's user part, as it goes over the wire."""
    number: str

    def invite(self, meanwhile: Callable[[], None] = lambda: None) -> int:
        """The final status. An answered call is ended once something was done meanwhile."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.bind(("127.0.0.1", 0))
            line.settimeout(20)
            self._call_id, self._tag = secrets.token_hex(8), secrets.token_hex(4)
            self._send(line, "INVITE", 1, "", SDP)
            status, to_tag = 0, ""
            while status < 200:
                reply = line.recv(65535).decode("latin-1")
                if reply.startswith("SIP/2.0 "):
                    status = int(reply.split()[1])
                    to_line = reply.split("\r\nTo:")[1].split("\r\n")[0]
                    to_tag = ";tag=" + to_line.partition("tag=")[2]
            self._send(line, "ACK", 1, to_tag)
            if status == 200:
                meanwhile()
                self._send(line, "BYE", 2, to_tag)
                line.recv(65535)
            return status

    def _send(self, line: socket.socket, method: str, sequence: int, to_tag: str, body: str = "") -> None:
        uri, port = f"sip:{self.number}@127.0.0.1:{self.sip_port}", line.getsockname()[1]
        headers = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{self._tag}{sequence}{method}",
            "Max-Forwards: 70",
            f"From: <sip:{self.user}@127.0.0.1>;tag={self._tag}",
            f"To: <{uri}>{to_tag}",
            f"Call-ID: {self._call_id}",
            f"CSeq: {sequence} {method}",
            f"Contact: <sip:x@127.0.0.1:{port}>",
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        line.sendto(
            ("\r\n".join(headers) + "\r\n\r\n" + body).encode("latin-1"), ("127.0.0.1", self.sip_port)
        )
