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

WITH_HANDLERS: Final = f"{SHOWN}::test_a_processor_starts_with_handlers_as_shown"
GUIDE: Final = (
    "tests/system/test_up.py::test_the_guide_s_commands_run_the_guide_s_handler"
)
PROVIDER: Final = (
    "tests/system/test_guides.py::test_a_provider_does_a_task_as_the_guide_says"
)
FROM_A_CLONE: Final = (
    "tests/packaging/test_base_install.py::test_a_clone_is_installed_as_shown"
)
KEYS: Final = (
    "tests/system/test_key.py"
    "::test_a_key_is_shown_once_listed_without_its_secret_and_revoked"
)
HELD_BACK: Final = (
    "tests/system/test_cli.py"
    "::test_a_task_is_cancelled_and_retried_and_its_queue_paused_and_resumed"
)

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
    "CONTRIBUTING.md": {
        "python -m tests.faults.checker FOLDER/journals": (
            "tests/unit/test_faults_checker.py"
            "::test_the_checker_is_a_program_whose_exit_code_tells"
        ),
    },
    "README.md": {
        "make up": MAKE_UP,
        ".venv/bin/tandem task create *": MAKE_UP,
        ".venv/bin/tandem task list *": MAKE_UP,
        "make demo": BY_THE_GATE,
        "make test": BY_THE_GATE,
        "grpcurl *": (
            f"{TOOLS}::test_the_readme_s_grpcurl_commands_create_and_read_a_task"
        ),
        ".venv/bin/tandem task watch TASK_ID": BESIDE_UP,
        ".venv/bin/tandem task cancel TASK_ID *": BESIDE_UP,
        ".venv/bin/tandem task retry TASK_ID": BESIDE_UP,
        ".venv/bin/tandem queue pause default": BESIDE_UP,
        ".venv/bin/tandem stream": BESIDE_UP,
        ".venv/bin/tandem stats": BESIDE_UP,
        ".venv/bin/tandem doctor": BESIDE_UP,
        ".venv/bin/tandem up --handlers *": BESIDE_UP,
        ".venv/bin/tandem processor --handlers *": WITH_HANDLERS,
        ".venv/bin/tandem demo --folder * --output *": (
            "tests/system/test_demo.py"
            "::test_each_article_has_one_task_and_one_page_whatever_goes_wrong"
        ),
        "pip install ./tandem": FROM_A_CLONE,
    },
    "docs/access.md": {
        "export TANDEM_OWNER_URL=*": KEYED,
        "tandem key create *": KEYED,
        "TANDEM_AUTH=key tandem creator": KEYED,
        "grpcurl *": KEYED,
        "tandem key list": KEYS,
        "tandem key revoke ID": KEYS,
        "TANDEM_AUTH=jwt * tandem creator": (
            f"{SHOWN}::test_a_creator_that_asks_for_tokens_starts_as_shown"
        ),
    },
    "docs/client.md": {"pip install *": FROM_A_CLONE},
    "docs/deployment.md": {
        "umask 077; *": ENV_FILE,
        "key=*": COMPOSE_KEYS,
        "python -m tandem.health *": OVER_TLS,
    },
    "docs/guides.md": {
        ".venv/bin/tandem up --handlers words:handlers": GUIDE,
        ".venv/bin/tandem task create * --type word_count *": GUIDE,
        ".venv/bin/tandem task list --project website": GUIDE,
        "tandem task get TASK_ID": BESIDE_UP,
        ".venv/bin/python -m examples.fake_provider": PROVIDER,
        ".venv/bin/tandem up --handlers examples.remote_provider:handlers": PROVIDER,
        ".venv/bin/tandem task create * --type remote_video *": PROVIDER,
        ".venv/bin/tandem task list --project examples": PROVIDER,
        ".venv/bin/python examples/retrying_client.py": (
            "tests/system/test_client.py::test_the_example_runs_twice_and_makes_one_task"
        ),
    },
    "docs/handlers.md": {"tandem processor --handlers *": WITH_HANDLERS},
    "docs/operations.md": {
        "TANDEM_ADMIN_URL=* tandem migrate": (
            f"{SHOWN}::test_an_installation_is_made_as_shown"
        ),
        "tandem processor --handlers *": WITH_HANDLERS,
        "tandem creator --processes 4": (
            f"{SHOWN}::test_four_processes_share_an_address_as_shown"
        ),
        "tandem task cancel*": HELD_BACK,
        "tandem task retry *": HELD_BACK,
        "tandem queue pause NAME": HELD_BACK,
        "tandem queue resume NAME": HELD_BACK,
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
        "pip install *": FROM_A_CLONE,
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

FETCHES: Final = "fetches from a registry; the tests use what the gate has installed"
TAKES_AN_HOUR: Final = "takes an hour; its results are in tests/faults/RESULTS.md"
RELEASES: Final = "makes a release"

NOT_RUN: Final[Mapping[str, Mapping[str, str]]] = {
    "CONTRIBUTING.md": {
        "make mutants ARGS=p7": "the gate tries them all",
        "make test-faults ARGS='--seed 7'": "the gate takes another seed",
        "make test-faults ARGS=--long": TAKES_AN_HOUR,
        "git tag *": RELEASES,
    },
    "docs/tools.md": {
        "go install *": FETCHES,
        "pip install buf-bin": FETCHES,
        "npm install @bufbuild/buf": FETCHES,
    },
    "docs/deployment.md": {
        "kubectl --namespace tandem rollout restart deployment": NEEDS_A_CLUSTER,
        "kubectl apply --kustomize deploy/kubernetes/autoscaled": NEEDS_A_CLUSTER,
        "docker compose up": NEEDS_DOCKER,
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
