"""ComDefend: a learned binary code that stands between a picture and its classifier."""

from model.classifiers import DefendedClassifier, load_classifier
from model.comdefend import ComDefend

__all__ = ["ComDefend", "DefendedClassifier", "load_classifier"]
