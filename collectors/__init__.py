"""Data in: packets from files and interfaces, events from Suricata. It goes to agent.pipeline."""
