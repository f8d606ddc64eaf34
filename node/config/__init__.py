"""The configuration of a node: one YAML file, environment variables and the command line become one `Config`.

command line  >  NODE_... variables  >  file  >  defaults of the role
"""

from node.config.load import ConfigError, Sources, load
from node.config.model import Auth, Config, Role, Switch

__all__ = ["Auth", "Config", "ConfigError", "Role", "Sources", "Switch", "load"]
