"""From alerts to what somebody has to decide. Events come in, groups and matters go to ``agent.pipeline``.

grouping: alerts -> sightings (one a signature and pair of addresses); policy: sightings -> matters (what standing
policies say should happen); opening: matters -> incidents. All of it pure: stores, clock and ids are arguments.
"""
