"""A small Gitea or Forgejo of our own: a real HTTP server with a real data model, for the demo, for
tests and for trying things out by hand."""

from coordinator.demo.forge.actions import Refused
from coordinator.demo.forge.data import VirtualClock
from coordinator.demo.forge.dialect import FORGEJO, GITEA, GITEA_1_26, Dialect, Product
from coordinator.demo.forge.faults import AnswerFault, DeliveryFault, Mishap
from coordinator.demo.forge.forge import Forge, open_forge
from coordinator.demo.forge.model import Comment, Hook, Issue, Label, Repository
from coordinator.demo.forge.postman import Posted

__all__ = [
    "FORGEJO",
    "GITEA",
    "GITEA_1_26",
    "AnswerFault",
    "Comment",
    "DeliveryFault",
    "Dialect",
    "Forge",
    "Hook",
    "Issue",
    "Label",
    "Mishap",
    "Posted",
    "Product",
    "Refused",
    "Repository",
    "VirtualClock",
    "open_forge",
]
