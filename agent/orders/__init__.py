"""Orders of a coordinating centre: signed, checked against policy, decided on, carried out, fed back, revoked.

A document comes in by TAXII (a course-of-action in ``orders-out``) or as an OpenC2 command over HTTPS; ``gate`` says
what it is and whether it may be followed, ``desk`` turns it into decisions of the mitigation area under the authority
ORDER, ``effect`` reads what came of it from the ledger, ``feedback`` writes the answer. The coordinating centre's side
signs with the same modules.
"""
