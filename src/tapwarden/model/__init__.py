"""The vocabulary as frozen dataclasses, without I/O. Every area imports it; it imports nothing of ours.

event -> alert group -> incident -> decision -> action, and report / order to and from the coordinating centre.
"""
