"""Monitoring: a dashboard, alarms, and a topic for them if there is an address to notify."""

from __future__ import annotations

from constructs import Construct

from infra.alarms import alarm_specs
from infra.config import Config
from infra.constructs.alarm import alarm, alarm_topic
from infra.constructs.dashboard import dashboard
from infra.stacks.base import LookalikeStack


class ObservabilityStack(LookalikeStack):
    """Alarms and the dashboard; resources are referred to by name, except the API, by its id."""

    def __init__(self, scope: Construct, config: Config, *, api_id: str) -> None:
        super().__init__(scope, "observability", config, "lookalike: dashboard and alarms")
        email = config.alarms.email
        self.topic = alarm_topic(self, f"{self.names.prefix}-alarms", email) if email else None
        specs = alarm_specs(config, self.names, api_id)
        alarms = [alarm(self, spec, prefix=self.names.prefix, topic=self.topic) for spec in specs]
        dashboard(self, config, self.names, api_id, alarms)
        self.output("DashboardName", self.names.prefix, "In CloudWatch, under Dashboards")
