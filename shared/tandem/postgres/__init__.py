"""PostgreSQL as Tandem uses it: the embedded server, roles, migrations, pools."""

from __future__ import annotations
