# Every public name with the module that defines it. This is the only list: `__init__.py` reads it at run time.
from .adapter.families import Family as Family, register_family as register_family
from .attribution.adaptive import AdaptiveIntegratedGradients as AdaptiveIntegratedGradients
from .attribution.captum_llm import LLMGradientNormAttribution as LLMGradientNormAttribution
from .attribution.captum_method import captum_method as captum_method
from .attribution.discretized import DiscretizedIntegratedGradients as DiscretizedIntegratedGradients
from .attribution.gradient_norm import GradientNorm as GradientNorm, LayerGradientNorm as LayerGradientNorm
from .attribution.method import Method as Method
from .attribution.named.chance import random_baseline as random_baseline
from .attribution.named.gradients import (
    gradient_norm as gradient_norm,
    input_x_gradient as input_x_gradient,
    saliency as saliency,
    smooth_grad as smooth_grad,
    smooth_grad_squared as smooth_grad_squared,
    var_grad as var_grad,
)
from .attribution.named.mixing import (
    attention_rollout as attention_rollout,
    value_zeroing as value_zeroing,
)
from .attribution.named.paths import (
    discretized_integrated_gradients as discretized_integrated_gradients,
    gradient_shap as gradient_shap,
    integrated_gradients as integrated_gradients,
    sequential_integrated_gradients as sequential_integrated_gradients,
)
from .attribution.named.relevance import (
    attn_lrp as attn_lrp,
    cp_lrp as cp_lrp,
    gim as gim,
    ln_freeze as ln_freeze,
)
from .attribution.named.removal import (
    leave_one_out as leave_one_out,
    occlusion as occlusion,
    shapley_sampling as shapley_sampling,
)
from .attribution.named.surrogates import kernel_shap as kernel_shap, lime as lime
from .attribution.relevance_gradient import RelevanceGradient as RelevanceGradient
from .attribution.sequential import SequentialIntegratedGradients as SequentialIntegratedGradients
from .corpus.read import Corpus as Corpus, read_corpus as read_corpus
from .corpus.write import write_corpus as write_corpus
from .demo import load_demo as load_demo
from .errors import SaliencyError as SaliencyError
from .explain.captum_views import (
    captum_records as captum_records,
    llm_attribution_result as llm_attribution_result,
)
from .explain.explainer import Explainer as Explainer
from .explain.stream import Failure as Failure
from .maps.attachment import read_maps as read_maps
from .maps.compare import (
    Agreement as Agreement,
    agreement as agreement,
    agreement_matrix as agreement_matrix,
    aligned as aligned,
)
from .maps.fields import Prediction as Prediction, TargetRow as TargetRow
from .maps.saliency_map import SaliencyMap as SaliencyMap
from .maps.saliency_maps import SaliencyMaps as SaliencyMaps, to_dataframe as to_dataframe
from .maps.spans import Token as Token
from .maps.summarize import summarize as summarize
from .maps.table import Table as Table
from .metrics.faithfulness import faithfulness as faithfulness, masking_curves as masking_curves
from .metrics.ground_truth import ground_truth as ground_truth
from .metrics.metric import Metric as Metric
from .metrics.normalized import (
    normalized_comprehensiveness as normalized_comprehensiveness,
    normalized_sufficiency as normalized_sufficiency,
)
from .metrics.perturbation import (
    comprehensiveness as comprehensiveness,
    decision_flip as decision_flip,
    deletion_area as deletion_area,
    insertion_area as insertion_area,
    log_odds as log_odds,
    masking_area as masking_area,
    rank_agreement as rank_agreement,
    sufficiency as sufficiency,
)
from .metrics.randomization import randomization_check as randomization_check
from .metrics.soft import (
    soft_comprehensiveness as soft_comprehensiveness,
    soft_sufficiency as soft_sufficiency,
)
from .render.animation import animate as animate
from .render.figure import figure as figure, measure as measure
from .render.html.page import page as page
from .render.latex import to_latex as to_latex
from .render.latex_table import to_latex_table as to_latex_table
from .render.marks import (
    Agreements as Agreements,
    Arcs as Arcs,
    Bars as Bars,
    Bipartite as Bipartite,
    Curves as Curves,
    Difference as Difference,
    Dots as Dots,
    Highlight as Highlight,
    Matrix as Matrix,
    Profile as Profile,
    Ranking as Ranking,
)
from .render.sheets import sheets as sheets
from .render.show import show as show
from .score.baselines import (
    mask_embedding as mask_embedding,
    mean_embedding as mean_embedding,
    pad_embedding as pad_embedding,
    zero_embedding as zero_embedding,
)
from .targets.answers import AnswerSpan as AnswerSpan, Choice as Choice
from .targets.causal import Continuation as Continuation, NextToken as NextToken
from .targets.labels import Label as Label, TokenLabel as TokenLabel
from .targets.masked import (
    MaskedSpan as MaskedSpan,
    MaskedToken as MaskedToken,
    PseudoLogLikelihood as PseudoLogLikelihood,
    UnmaskedToken as UnmaskedToken,
)
from .targets.output import Output as Output
from .targets.readout import (
    Readout as Readout,
    span_logits as span_logits,
    text_logits as text_logits,
    token_logits as token_logits,
)
from .targets.similarity import Similarity as Similarity
from .targets.target import PREDICTED as PREDICTED, LogitRef as LogitRef, Row as Row, Target as Target

__version__: str
