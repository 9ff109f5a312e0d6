"""Schemathesis asks a live server whatever its document allows, and what it forbids: nothing may differ from it."""

import time
from collections.abc import Iterator

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import (
    negative_data_rejection,
    positive_data_acceptance,
)

from tests.api.served import served
from tests.api.tracked import RING, market
from tests.servers import StoreServer
from tracker import pipeline
from tracker.outbox import Outbox
from tracker.store import Store, connect
