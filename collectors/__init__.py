"""Data in: packets from files and interfaces, events from Suricata, intelligence from feeds. It goes to agent.pipeline."""
