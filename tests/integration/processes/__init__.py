# SPDX-License-Identifier: Apache-2.0
"""The users' own servers, kept alive and replaced one by one."""
