"""Grade a submission by an assignment: each case in a process of its own, judged from outside it.

from dlcourse.grading.assignment import load_assignment
from dlcourse.grading.grade import grade_submission

grade = grade_submission(load_assignment("assignment.yaml"), "submission.py")
grade.score, grade.max_score, grade.to_gradescope()

Nothing is imported here: the process of a case should start at once.
"""
