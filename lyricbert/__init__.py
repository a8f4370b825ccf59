"""Second-stage masked-language-model pre-training of BERT on short texts, and the evidence whether it helped."""
