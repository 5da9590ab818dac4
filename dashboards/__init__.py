"""The SOC dashboard: server-rendered pages over the stores and the desk, each page also as JSON.

Data comes in through the ports of ``tapwarden.model.ports`` (EventStore, CaseStore, Desk, Clock) and a health callable;
what people decide goes out through the Desk only. Everything shown was chosen by somebody on the network: it is escaped
by the template environment, made visible where it hides (control and bidirectional characters), and never a link.
"""
