# SPDX-License-Identifier: Apache-2.0
"""The tour: what tidegate is for, step by step, each asserted on the services' own logs and databases.

Start reading at `steps/profile.py`, the first and simplest step.
"""

from tidegate.demo.tour.runner import Result, run_tour
from tidegate.demo.tour.step import Step

__all__ = ["Result", "Step", "run_tour"]
