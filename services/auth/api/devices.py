"""The caller's trusted devices."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter

from services.auth.api.factor_schemas import DeviceOut
from services.auth.api.guards import Composed, Current
from shared.web.json_depth import ShallowJsonRoute
from shared.web.openapi_responses import refused
from shared.web.problems import ItemNotFound

router = APIRouter(prefix="/api/v1/auth/devices", route_class=ShallowJsonRoute)


@router.get("", summary="The devices that need no second factor to log in, the newest first")
async def list_devices(auth: Composed, current: Current) -> list[DeviceOut]:
    return [DeviceOut(**row) for row in await auth.devices.list(current.token.account)]


@router.delete("", status_code=204, summary="Ask for the second factor everywhere again")
async def end_devices(auth: Composed, current: Current) -> None:
    await auth.devices.end(current.token.account)


@router.delete("/{device_id}", status_code=204, summary="Forget one device", responses=refused(ItemNotFound))
async def end_device(auth: Composed, current: Current, device_id: UUID) -> None:
    await auth.devices.end(current.token.account, device_id)
