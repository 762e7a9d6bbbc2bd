"""Thresholds of the alerts, and of the dashboard's red values.

Set them to your service level objectives, and run `make monitoring`.
"""

# from the event's timestamp until its verdict can be read, for 99 of 100
VERDICT_AGE_SECONDS = 60
# how long catching up may take
LAG_SECONDS = 600
# a smaller lag may grow without an alert
LAG_RECORDS = 1000
DEAD_LETTER_SHARE = 0.05
INCONCLUSIVE_SHARE = 0.1
# a share of fewer records is not significant
SHARE_RECORDS = 20
# of the audited verdicts within six hours
AUDIT_DISAGREEMENT = 0.05
# fewer audits are not significant
AUDITS = 40
# of the calls to Kafka
FAILED_CALLS_SHARE = 0.1
# of the time, with more records waiting than the engine takes
BUSY_SHARE = 0.5
LOOP_LAG_SECONDS = 0.5
# the worker allows `engine.restarts` an hour
ENGINE_RESTARTS = 2
PROCESS_RESTARTS = 3
# how often each partition moved within 15 minutes; a rolling update stays below
REBALANCES = 15
