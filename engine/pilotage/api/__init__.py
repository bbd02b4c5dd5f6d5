"""The one door to a running engine: typed questions and answers over a local socket.

The command line, the web process and plugins' panels use it alike. A question is one line of JSON with its `method`, the
answer one line with `ok` or `error`; `Subscribe` is answered with a line per decision, `FollowCity` with a line per
piece of news. The socket belongs to the engine's user alone; an order of a person (an override, a plan) is answered once its
decision is on disk.

Each module holds the questions and answers of one noun and says in `__all__` what of it is public; its `Questions` stand in
`wire.AnyQuestion`.
"""

from typing import Final

from pilotage.api.alarms import *
from pilotage.api.audit import *
from pilotage.api.client import *
from pilotage.api.decisions import *
from pilotage.api.equipment import *
from pilotage.api.figures import *
from pilotage.api.glass import *
from pilotage.api.history import *
from pilotage.api.incidents import *
from pilotage.api.live import *
from pilotage.api.overrides import *
from pilotage.api.plans import *
from pilotage.api.points import *
from pilotage.api.preview import *
from pilotage.api.question import *
from pilotage.api.rules import *
from pilotage.api.service import *
from pilotage.api.vitals import *
from pilotage.api.why import *
from pilotage.api.why_rules import *
from pilotage.api.wire import *

VERSION: Final = 1
