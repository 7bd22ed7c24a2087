"""What runs each command that the documents show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

TOOLS: Final = "tests/system/test_tools.py"
SHOWN: Final = "tests/system/test_shown_commands.py"
BESIDE_UP: Final = f"{SHOWN}::test_the_readme_s_commands_do_what_they_say_beside_up"
MAKE_UP: Final = f"{SHOWN}::test_make_up_leads_to_a_processed_task"
OVER_TLS: Final = f"{SHOWN}::test_a_creator_and_its_probe_start_over_tls_as_shown"
ENV_FILE: Final = f"{SHOWN}::test_the_passwords_of_compose_are_made_as_shown"
COMPOSE_KEYS: Final = (
    "tests/system/test_deployed.py"
    "::test_compose_s_pair_asks_for_keys_that_are_made_as_shown"
)
PRUNED: Final = f"{SHOWN}::test_pruning_runs_as_shown"
KEYED: Final = f"{SHOWN}::test_a_key_is_made_and_asked_for_and_shown_as_the_page_says"

BY_THE_GATE: Final = ".ci/run"
"""A test that ran it would run itself, or is there beside it."""

WHOLE: Final[Mapping[str, str]] = {
    "docs/clients.md": (
        "tests/system/test_generated_clients.py"
        "::test_no_command_of_the_page_on_clients_is_left_out"
    ),
    "docs/tools.md": f"{TOOLS}::test_no_command_of_the_page_on_tools_is_left_out",
}
"""Documents whose tests read all of their commands, and say so."""

RUN: Final[Mapping[str, Mapping[str, str]]] = {
    "README.md": {
        "make up": MAKE_UP,
        ".venv/bin/tandem *": MAKE_UP,
        "make demo": BY_THE_GATE,
        "make test": BY_THE_GATE,
        "grpcurl *": (
            f"{TOOLS}::test_the_readme_s_grpcurl_commands_create_and_read_a_task"
        ),
        "tandem task watch TASK_ID": BESIDE_UP,
        "tandem task cancel TASK_ID *": BESIDE_UP,
        "tandem task retry TASK_ID": BESIDE_UP,
        "tandem queue pause default": BESIDE_UP,
        "tandem stream": BESIDE_UP,
        "tandem stats": BESIDE_UP,
        "tandem doctor": BESIDE_UP,
        "tandem up --handlers *": BESIDE_UP,
        "tandem processor --handlers *": (
            f"{SHOWN}::test_a_processor_starts_with_handlers_as_shown"
        ),
    },
    "docs/access.md": {
        "export TANDEM_OWNER_URL=*": KEYED,
        "tandem key create *": KEYED,
        "TANDEM_AUTH=key tandem creator": KEYED,
        "grpcurl *": KEYED,
        "TANDEM_AUTH=jwt * tandem creator": (
            f"{SHOWN}::test_a_creator_that_asks_for_tokens_starts_as_shown"
        ),
    },
    "docs/deployment.md": {"umask 077; *": ENV_FILE, "key=*": COMPOSE_KEYS},
    "docs/guides.md": {
        ".venv/bin/tandem *": (
            "tests/system/test_up.py::test_the_guide_s_commands_run_the_guide_s_handler"
        ),
    },
    "docs/operations.md": {
        "TANDEM_ADMIN_URL=* tandem migrate": (
            f"{SHOWN}::test_an_installation_is_made_as_shown"
        ),
        "tandem doctor *": f"{SHOWN}::test_the_doctor_looks_through_logins_as_shown",
        "TANDEM_JANITOR_URL=* tandem prune --dry-run": PRUNED,
        "TANDEM_JANITOR_URL=* tandem prune --every 3600": PRUNED,
    },
    "docs/start.md": {
        "make up": MAKE_UP,
        ".venv/bin/tandem task *": (
            f"{TOOLS}::test_the_page_on_starting_shows_what_its_commands_print"
        ),
        ".venv/bin/tandem stats": BESIDE_UP,
        ".venv/bin/tandem doctor": BESIDE_UP,
    },
    "docs/tls.md": {
        "TANDEM_TLS_CERT=* tandem creator": OVER_TLS,
        "python -m tandem.health *": OVER_TLS,
    },
    "docs/traces.md": {
        "TANDEM_TRACES=true * tandem creator": (
            f"{SHOWN}::test_a_creator_s_trace_begins_with_its_caller_as_shown"
        ),
        "grpcurl *": f"{SHOWN}::test_a_creator_s_trace_begins_with_its_caller_as_shown",
    },
}
"""By document and pattern, the test that runs the command."""

NEEDS_DOCKER: Final = "needs Docker, whose files validators check in its place"
NEEDS_A_CLUSTER: Final = (
    "needs a cluster, whose manifests validators check in its place"
)

NOT_RUN: Final[Mapping[str, Mapping[str, str]]] = {
    "docs/deployment.md": {
        "docker compose build": NEEDS_DOCKER,
        "docker compose up --detach": NEEDS_DOCKER,
        "docker compose run --rm key *": NEEDS_DOCKER,
        "kubectl apply --filename deploy/kubernetes/base/namespace.yaml": NEEDS_A_CLUSTER,
        "kubectl apply --filename ~/tandem-secrets.yaml": NEEDS_A_CLUSTER,
        "kubectl --namespace tandem delete job migrate *": NEEDS_A_CLUSTER,
        "kubectl apply --kustomize deploy/kubernetes/migrate": NEEDS_A_CLUSTER,
        "kubectl --namespace tandem wait * job/migrate": NEEDS_A_CLUSTER,
        "kubectl apply --kustomize deploy/kubernetes/base": NEEDS_A_CLUSTER,
        "kubectl --namespace tandem rollout status *": NEEDS_A_CLUSTER,
    },
}
"""By document and pattern, why nothing here runs the command."""
