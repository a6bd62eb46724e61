"""Monitoring: alarms, a topic for them if there is an address to notify, and, if they are configured, a
dashboard and a budget."""

from __future__ import annotations

from constructs import Construct

from infra.alarms import alarm_specs
from infra.config import Config
from infra.constructs.alarm import alarm, alarm_topic
from infra.constructs.budget import budget
from infra.constructs.dashboard import dashboard
from infra.constructs.output import output
from infra.names import Names


class Observability(Construct):
    """Alarms and the dashboard; resources are referred to by name, except the API, by its id."""

    def __init__(self, scope: Construct, config: Config, names: Names, *, api_id: str) -> None:
        super().__init__(scope, "Observability")
        email = config.alarms.email
        self.topic = alarm_topic(self, f"{names.prefix}-alarms", email) if email else None
        specs = alarm_specs(config, names, api_id)
        alarms = [alarm(self, spec, prefix=names.prefix, topic=self.topic) for spec in specs]
        if config.dashboard:
            dashboard(self, config, names, api_id, alarms)
            output(self, "DashboardName", names.prefix, "In CloudWatch, under Dashboards")
        if config.alarms.monthly_dollars is not None:
            budget(self, names.prefix, config)
