"""The version of the client, which is the service's."""

VERSION = "0.1.0"
