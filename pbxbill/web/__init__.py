"""HTTP: the operators' panel, portals of resellers and customers, the API for programs, webhooks of gateways,
pages of payers. Alone imports Flask, and decides nothing: rules live below.

factory.py makes the application from what it is given, serving.py serves it within limits. identity.py knows
who asks, front.py what he may and with whose name he writes. panel/ is for operators and resellers, portal/
for customers, own/ for whoever is logged in, api/ for programs; lists and reports that they share are in
pbxbill.listing and pbxbill.reports.
"""
