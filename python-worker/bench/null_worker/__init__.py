"""A worker without an engine: it draws nothing, so that what is left of a job's time is the orchestrator's."""
