"""Pages at the root, for whoever logs in to panel or portal: log-in, one-time links, own settings."""

from flask import Blueprint

from pbxbill.web.front import Front
from pbxbill.web.identity import Identity
from pbxbill.web.own.links import links
from pbxbill.web.own.log_in import log_in
from pbxbill.web.own.me import me
from pbxbill.web.own.own_factors import own_factors
from pbxbill.web.own.own_passkeys import passkeys
from pbxbill.web.own.security_txt import security_txt
from pbxbill.web.panel.brand import brand_files


def own_pages(front: Front, identity: Identity) -> tuple[Blueprint, ...]:
    """All of them."""
    return (
        log_in(front, identity),
        links(front, identity),
        me(front, identity),
        own_factors(front),
        passkeys(front, identity),
        security_txt(front),
        brand_files(front),
    )
