"""What every page of the centre is made in: the template, its headers, and who may see it."""

from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader

from tapwarden.agent.coordinator.centre import Centre
from tapwarden.agent.coordinator.identity import Caller, Identities

POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Frame:
    """Pages for officers, who log in by HTTP Basic."""

    def __init__(self, centre: Centre, identities: Identities) -> None:
        self.centre, self._identities = centre, identities
        self._templates = Environment(loader=PackageLoader("tapwarden.agent.coordinator"), autoescape=True)

    def page(self, name: str, title: str, status: int = 200, **values: Any) -> Response:
        """A template as an answer."""
        template = self._templates.get_template(f"{name}.html.j2")
        return HTMLResponse(template.render(title=title, centre=self.centre.name, **values), status, headers=HEADERS)

    def officer(self, request: Request) -> Caller:
        """The officer who looks; HTTPException 401 asks a browser for the password."""
        try:
            return self._identities.officer(request)
        except HTTPException as error:
            if error.status_code == 401:
                raise HTTPException(401, "log in", {"WWW-Authenticate": 'Basic realm="officers"'}) from None
            raise

    def acting(self, request: Request) -> str:
        """Who posts a form of ours: browsers send Basic credentials with forms of other sites as well."""
        caller = self.officer(request)
        site = request.headers.get("sec-fetch-site", "same-origin")
        origin = request.headers.get("origin", "")
        if site not in {"same-origin", "none"} or (origin and origin != str(request.base_url).rstrip("/")):
            raise HTTPException(403, "this form is not of this site")
        return caller.name
