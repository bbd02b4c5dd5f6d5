"""Desks only ask: one event loop is enough, the one that a city runs on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop
from tests.engine.runtime.desks.city_of_three import start_city

from pilotage import api
from pilotage.service import Service


@pytest.hookimpl(tryfirst=True)
def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every test once."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """A whole engine."""
    service = await start_city(tmp_path)
    yield service
    await service.stop()


@pytest.fixture
async def client(service: Service) -> AsyncIterator[api.AsyncClient]:
    """Who asks."""
    async with api.AsyncClient(service.settings.control.socket) as client:
        yield client
