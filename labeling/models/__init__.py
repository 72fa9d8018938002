"""The rows, in the order an item meets them."""

from labeling.models.answer import LABELLING, Answer, Origin, Purpose
from labeling.models.audit import Audit, Certificate
from labeling.models.checkpoint import Checkpoint
from labeling.models.item import Item, Reference, Status
from labeling.models.job import BadRow, Export, Job, Upload
from labeling.models.lease import Ask, Candidate, Lease, Mark
from labeling.models.member import Invitation, Member, Role, User
from labeling.models.project import Label, Project, Tally
from labeling.models.quality import Comment, Gold, Skills
from labeling.models.review import Acceptance, Batch
from labeling.models.rule import Rule
from labeling.models.snapshot import Snapshot

__all__ = [
    "LABELLING",
    "Acceptance",
    "Answer",
    "Ask",
    "Audit",
    "BadRow",
    "Batch",
    "Candidate",
    "Certificate",
    "Checkpoint",
    "Comment",
    "Export",
    "Gold",
    "Invitation",
    "Item",
    "Job",
    "Label",
    "Lease",
    "Mark",
    "Member",
    "Origin",
    "Project",
    "Purpose",
    "Reference",
    "Role",
    "Rule",
    "Skills",
    "Snapshot",
    "Status",
    "Tally",
    "Upload",
    "User",
]
