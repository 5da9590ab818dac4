"""Where a coordinating centre reaches this agent: OpenC2 commands and queries over HTTPS.

``openc2_http`` is the transfer of OpenC2 over HTTPS (v1.1), ``query_http`` the REST side of queries, ``server`` serves
both and describes them at ``/openapi.json``.
"""
