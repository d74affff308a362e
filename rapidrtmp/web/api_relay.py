"""The routes of the management API for relays."""

# Twisted's request methods carry no annotations yet.
# mypy: allow-untyped-calls

from typing import Any

from klein import Klein
from twisted.web import http

from rapidrtmp.auth.api_keys import ADMIN, READ
from rapidrtmp.relay.relays import DIRECTIONS, PULL, Relay, RelayExists, Relays, TooManyRelays
from rapidrtmp.rtmp.target import BadTarget
from rapidrtmp.web.api import API
from rapidrtmp.web.api_errors import APIError
from rapidrtmp.web.api_request import json_fields, key_parameter
from rapidrtmp.web.description import optional, timestamp
from rapidrtmp.web.json_request import BadRequest, refuse_others, stream_key
from rapidrtmp.web.request import Request
from rapidrtmp.web.responses import json_body

_ALL, _ONE = "/api/v1/relays", "/api/v1/relays/:id"
_app: Klein = API.app


class RelayAPI(API):
    """The API, relays included."""

    def __init__(self, relays: Relays, *args: Any, **settings: Any) -> None:
        """Make the API.

        Args:
            relays: those of this server.
            args: as `API` takes them.
            settings: as `API` takes them.
        """
        super().__init__(*args, **settings)
        self._relays = relays

    @_app.route("/v1/relays", methods=["GET"])
    def relays(self, request: Request) -> bytes:
        """List the relays by their stream keys."""
        self._let_in(request, _ALL, READ)
        found = sorted(self._relays.relays(key_parameter(request)), key=lambda r: r.key)
        value = {"relays": [describe_relay(relay) for relay in found], "total": len(found)}
        return json_body(request, value)

    @_app.route("/v1/relays", methods=["POST"])
    async def add_relay(self, request: Request) -> bytes:
        """Add a relay."""
        self._let_in(request, _ALL, ADMIN)
        fields = json_fields(request)
        refuse_others(fields, "streamKey", "direction", "url", "onDemand")
        key, direction, url = stream_key(fields), fields.get("direction"), fields.get("url")
        if direction not in DIRECTIONS:
            raise BadRequest(f"direction must be {' or '.join(DIRECTIONS)}", "direction")
        if not isinstance(url, str):
            raise BadRequest("url must be a string", "url")
        on_demand = fields.get("onDemand", False)
        if not isinstance(on_demand, bool):
            raise BadRequest("onDemand must be true or false", "onDemand")
        if on_demand and direction != PULL:
            raise BadRequest("only a pull can be on demand", "onDemand")
        try:
            relay = self._relays.add(key, direction, url, on_demand=on_demand)
        except BadTarget as error:
            raise BadRequest(str(error), "url") from None
        except RelayExists as error:
            raise APIError(http.CONFLICT, str(error)) from None
        except TooManyRelays as error:
            raise APIError(http.SERVICE_UNAVAILABLE, str(error)) from None
        self._note(request, key, f"relay {relay.id} ({direction}) added")
        await self._stored("added")
        return json_body(request, describe_relay(relay))

    @_app.route("/v1/relays/<relay_id>", methods=["GET"])
    def relay(self, request: Request, relay_id: str) -> bytes:
        """Tell of one relay."""
        self._let_in(request, _ONE, READ)
        return json_body(request, describe_relay(self._relay(relay_id)))

    @_app.route("/v1/relays/<relay_id>", methods=["DELETE"])
    async def remove_relay(self, request: Request, relay_id: str) -> bytes:
        """End a relay, and forget it."""
        self._let_in(request, _ONE, ADMIN)
        relay = self._relay(relay_id)
        if relay.is_static:
            setting = f"RELAY_{relay.direction.upper()}{'_ON_DEMAND' if relay.demand else ''}"
            raise APIError(http.CONFLICT, f"this relay stands in {setting}: remove it there")
        self._relays.remove(relay)
        self._note(request, relay.key, f"relay {relay.id} removed")
        await self._stored("removed")
        value = {"message": "relay removed", "id": relay.id, "streamKey": relay.key}
        return json_body(request, value)

    def _let_in(self, request: Request, route: str, scope: str) -> None:
        request.route = route
        self.demand(request, scope)

    def _relay(self, relay_id: str) -> Relay:
        found = self._relays.find(relay_id)
        if found is None:
            raise APIError(http.NOT_FOUND, "relay not found")
        return found

    async def _stored(self, what: str) -> None:
        try:
            await self._relays.saved()
        except OSError as error:
            self._log.error("the relays could not be stored: {error}", error=error)
            words = f"{what}, but that could not be stored: a restart would undo it"
            raise APIError(http.INTERNAL_SERVER_ERROR, words) from error


def describe_relay(relay: Relay) -> dict[str, Any]:
    """Return the API's Relay, without what is secret of its URL."""
    redial = relay.redial
    return {
        "id": relay.id,
        "streamKey": relay.key,
        "direction": relay.direction,
        "url": relay.shown_url,
        "onDemand": relay.demand is not None,
        "static": relay.is_static,
        "createdAt": timestamp(relay.created_at),
        "state": redial.state.value,
        "since": timestamp(redial.since),
        "retries": redial.retries,
        **optional(retryAt=timestamp(redial.retry_at), lastError=redial.error),
        "bytes": relay.link.bytes,
        "framesDropped": relay.dropped,
    }
