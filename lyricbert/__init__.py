"""Second-stage masked-language-model pre-training of BERT on short texts, and the evidence whether it helped."""

__version__ = "0.1.0"
