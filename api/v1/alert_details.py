"""What an alert of some kinds of rules tells besides its numbers: one model for each kind."""

from pydantic import BaseModel, Field


class ConditionTold(BaseModel):
    """One condition of a rule of the kind `all`, in the slot of the rising edge."""

    field: str = Field(description="The field of the market that it is about: price or volume.")
    kind: str = Field(description="Its kind: ratio, change, threshold or zscore.")
    value: float = Field(description="The value that was compared.")
    baseline: float | None = Field(description="What it was compared with. Null if there is none.")
    factor: float = Field(description="The condition's limit.")
    samples: int = Field(description="Number of present samples in the baseline.")
    window: int = Field(description="Seconds that the baseline covers.")
    text: str = Field(description="The condition in words.")


class AllDetails(BaseModel):
    """Of the kind `all`."""

    conditions: list[ConditionTold] = Field(description="The conditions in the order of the rule.")


class SpreadDetails(BaseModel):
    """Of the kind `spread`."""

    median: float = Field(description="The median price of the pair's exchanges in that slot.")
    exchanges: int = Field(description="The number of exchanges that it is the median of, this one included.")
    percent: float = Field(description="By how many percent the price differs from it.")


class SilentDetails(BaseModel):
    """Of the kind `silent`."""

    cause: str = Field(
        description="`no trades`: the source answered, and nothing was traded; `no answer`: the source did not answer "
        "for this market, and it did for others."
    )


class RankDetails(BaseModel):
    """Of the kind `rank`."""

    position: int = Field(description="The position of the metric when it entered the top, 1 is the first.")
    of: int = Field(description="How many metrics of its field had a rank.")
    by: str = Field(description="What the ranking is by: stddev or cv.")


Details = AllDetails | SpreadDetails | SilentDetails | RankDetails
