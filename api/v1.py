"""Version 1 of the API: its resources. ``create_app`` puts it at /v1, and again at /latest."""

from apiflask import APIBlueprint

from api import index, markets, metrics, movers

bp = APIBlueprint("v1", __name__)
for resource in (index, metrics, markets, movers):
    bp.register_blueprint(resource.bp)
