"Is this video real or AI-generated, and how sure can I be?"
from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING: # for type checkers and editors; whoever runs this waits for a name until it is asked for
    from .core import AivdError as AivdError
    from .core import Failure as Failure
    from .core import VideoError as VideoError
    from .detector import Detector as Detector
    from .verdict import Verdict as Verdict
    from .widget import DetectorWidget as DetectorWidget

_PLACES = {"AivdError": "core", "Failure": "core", "VideoError": "core", "Detector": "detector", "Verdict": "verdict", "DetectorWidget": "widget"}


def __getattr__(name: str):
    "What most users need, imported when it is first asked for: `import aivd_nb` itself stays instant"
    if name not in _PLACES: raise AttributeError(f"module 'aivd_nb' has no attribute {name!r}")
    return getattr(import_module(f"aivd_nb.{_PLACES[name]}"), name)


def __dir__() -> list[str]: return sorted([*globals(), *_PLACES])
