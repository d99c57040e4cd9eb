from ._command import CommandFailed as CommandFailed, CommandResult as CommandResult
from ._command import commands as commands, run as run
from ._cpus import cpus as cpus
from ._errors import Certificate as Certificate
from ._errors import RemoteTraceback as RemoteTraceback
from ._errors import TaskDied as TaskDied, TaskError as TaskError, TaskResult as TaskResult
from ._errors import TaskTimeout as TaskTimeout
from ._executor import Executor as Executor
from ._future import Future as Future
from ._fork import Child as Child, fork as fork, wait_all as wait_all
from ._map import imap as imap, imap_unordered as imap_unordered, map as map, starmap as starmap
from ._pool import Pool as Pool
from ._template import Template as Template, freeze as freeze, template as template

__version__: str
