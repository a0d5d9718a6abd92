# SPDX-License-Identifier: Apache-2.0
"""Control's part in `processes` of backends: which are to run, which are well, and how they are replaced.

`wanted` reads the configuration, `group` looks after one backend, `origins` after all of them. The
supervisor starts and ends them (`tidegate.supervisor.origins`).
"""
