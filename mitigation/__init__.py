"""From a decision to what the kernel and the DNS do: plan, guard, apply, verify, undo. It never sees events."""
