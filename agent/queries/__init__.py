"""Questions of a coordinating centre: from a closed list of templates, each with its purpose, counts before rows.

``templates`` answers them from the stores, ``desk`` counts the quota, records every question and lets people decide on
rows. They come by TAXII (``queries-out``, answered into ``answers-in``) or over HTTPS (``reception``).
"""
