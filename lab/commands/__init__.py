"""What each verb of `ipseclab` does; `cli` finds them in the table `lab.cli.VERBS`."""
