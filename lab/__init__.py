"""The lab: brings labs up, judges them and shows them. A black box to the node and the CA: it imports
neither.

Layers, each importing only those before it:

    errors, text, labels     words that everything shares
    events, scenario         what nodes tell; what a scenario asks for
    checks, plan             judging (pure); from a scenario to what each node is configured with
    wire/                    relay and captures; runs beside the nodes, imports nothing else of the lab
    decode/, plaintext       captures read without the node
    backends/                docker, netns, process: the only places that start anything
    lifecycle, judge         bringing up, following, judging, taking down
    ladder*, report/         who sent what to whom; a run as one page
    hindsight, lint, testing judging a lab as it is now; files; a lab in the hands of a test
    commands/, cli           what a user types
"""

__version__ = "0.1.0"
