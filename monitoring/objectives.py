"""What counts as too much: the alerts' thresholds, and where the dashboard's figures turn red.

Set them to what your platform promises, and run `make monitoring`.
"""

# from the event's timestamp until its verdict can be read, for 99 of 100
VERDICT_AGE_SECONDS = 60
# how long the lag may take to work off
LAG_SECONDS = 600
# fewer records than this behind are no lag worth a look at its growth
LAG_RECORDS = 1000
DEAD_LETTER_SHARE = 0.05
INCONCLUSIVE_SHARE = 0.1
# a share of fewer records than this says little
SHARE_RECORDS = 20
# of the calls to Kafka
FAILED_CALLS_SHARE = 0.1
# of the time, with more records waiting than the engine takes
BUSY_SHARE = 0.5
LOOP_LAG_SECONDS = 0.5
# the worker itself allows `engine.restarts` an hour
ENGINE_RESTARTS = 2
PROCESS_RESTARTS = 3
# how often each partition changed hands within 15 minutes; a rolling update stays below
REBALANCES = 15
