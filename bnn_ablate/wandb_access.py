"""What W&B needs before anything starts: a key in the environment, a server that answers, an agent of this project."""

from __future__ import annotations

import os
import ssl
import urllib.error
import urllib.request

from bnn_ablate.settings import Settings, SettingsError

#: Seconds for the first answer of the server. One that is not there must be told before anything is trained.
FIRST_ANSWER = 10.0


def agents_run() -> str | None:
    """The id of the W&B run that an agent of ``wandb sweep`` expects of this process; None where there is no agent."""
    return os.environ.get("WANDB_RUN_ID") if "WANDB_SWEEP_ID" in os.environ else None


def check_online(settings: Settings) -> None:
    """Refuse tracking that cannot work, before anything starts. Raises SettingsError."""
    check_agent(settings)
    if settings.tracking.name == "wandb" and settings.tracking.mode == "online":
        check_key(settings)
        check_server()


def check_agent(settings: Settings) -> None:
    """Refuse what would leave the W&B run of an agent empty. Raises SettingsError."""
    if agents_run() is None or settings.tracking.name == "none":
        return
    if settings.tracking.mode != "online":
        raise SettingsError(
            f"tracking.mode={settings.tracking.mode} does not go with an agent of `wandb sweep`, whose server waits "
            "for the run: put tracking.mode=online into the sweep's command"
        )
    project = os.environ.get("WANDB_PROJECT", settings.tracking.project)
    if project != settings.tracking.project:
        raise SettingsError(
            f"tracking.project={settings.tracking.project} does not go with an agent of a sweep in project {project}: "
            "choose the same"
        )


def check_key(settings: Settings) -> None:
    """Online tracking without a key would ask a question; refuse it before anything starts."""
    if settings.tracking.name == "wandb" and settings.tracking.mode == "online" and "WANDB_API_KEY" not in os.environ:
        raise SettingsError(
            "tracking.mode=online needs the environment variable WANDB_API_KEY: set it or choose offline"
        )


def check_server() -> None:
    """Ask for any answer at all: W&B itself would try for half a minute, with the data already loaded.

    Raises SettingsError.
    """
    import wandb

    chosen = wandb.setup().settings
    if chosen.http_proxy or chosen.https_proxy:  # W&B's own proxies are not ours to use
        return
    try:
        urllib.request.urlopen(chosen.base_url, timeout=FIRST_ANSWER).close()
    except urllib.error.HTTPError:
        pass  # an answer
    except OSError as error:
        reason = getattr(error, "reason", error)
        if not isinstance(reason, ssl.SSLError):  # W&B may know certificates that Python does not
            raise SettingsError(
                f"the W&B server {chosen.base_url} cannot be reached ({reason}): "
                "choose tracking.mode=offline and send the run later with wandb sync"
            ) from None
