"""In which order `fit` takes what another run has recorded."""


def in_recorded_order(replay, selection, kwargs):
    """The arguments of `fit` for a `Replay`, or an error before it starts."""
    if selection is not None:
        raise ValueError(
            "A replay yields sub-batches, which were selected before. Pass "
            f"`selection=None` to `fit`. Received: selection={selection}"
        )
    if kwargs.get("shuffle"):
        raise ValueError(
            "A replay is in the order of the recorded run. Leave `shuffle` "
            f"out. Received: shuffle={kwargs['shuffle']}"
        )
    num_steps = kwargs.get("steps_per_epoch") or len(replay)
    num_steps *= kwargs.get("epochs", 1)
    if num_steps > len(replay):
        raise ValueError(
            f"The replay runs out: its run had {len(replay)} steps. Received: "
            f"{num_steps} steps, from `epochs` and `steps_per_epoch`. Train "
            "for fewer, or record more."
        )
    return {**kwargs, "shuffle": False}
