"""Reports: an incident's evidence in, a document for the coordinating centre out.

``profile`` says what is due when, ``draft`` fills the document, ``formats`` writes it; ``tapwarden.agent.coordinate``
carries it.
"""
