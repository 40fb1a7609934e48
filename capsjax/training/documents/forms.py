"""Types that the forms of documents are made of."""

from typing import Annotated, Literal

from annotated_types import Ge, Gt
from pydantic import BaseModel, ConfigDict

Count = Annotated[int, Ge(1)]
Natural = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0)]
Float = Literal["bfloat16", "float16", "float32", "float64"]


class Form(BaseModel):
    """An object whose keys are known; a number is no text, and text no number."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        defer_build=True,  # `import capsjax` shall not wait for it
    )
