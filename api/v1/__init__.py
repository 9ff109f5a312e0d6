"""Version 1 of the API: its resources. ``create_app`` puts it at /v1, and again at /latest."""

from apiflask import APIBlueprint

from api.v1 import alerts, deliveries, index, markets, metrics, movers, rules, saved_rules, series, silences, sources

bp = APIBlueprint("v1", __name__)
for resource in (index, metrics, series, markets, movers, sources, alerts, silences, deliveries, rules, saved_rules):
    bp.register_blueprint(resource.bp)
