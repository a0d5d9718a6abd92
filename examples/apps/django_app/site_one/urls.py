# SPDX-License-Identifier: Apache-2.0
from django.contrib import admin
from django.contrib.staticfiles.views import serve
from django.urls import path

# `runserver` looks for static files under the prefix, which is stripped when a request comes here.
urlpatterns = [path("admin/", admin.site.urls), path("static/<path:path>", serve)]
